.load ./build/binhash
.mode list
.nullvalue NULL
-- What is in force, read and set; both give the value.
SELECT binhash_config('max_pixels'), binhash_config('cache_bytes'), binhash_config('progress'), binhash_config('amx');
SELECT typeof(binhash_config('threads')), binhash_config('threads') >= 1;
SELECT binhash_config('max_pixels', 5), binhash_config('max_pixels'), binhash_config('max_pixels', '6'), binhash_config('max_pixels', 250000000);
SELECT binhash_config('threads', 3), binhash_config('threads');
SELECT binhash_config('cache_bytes', 0), binhash_config('cache_bytes', 1000000);
SELECT binhash_config('progress', 'log'), binhash_config('progress', 'stderr'), binhash_config('progress', 'off');
SELECT binhash_config('amx', 0);
-- Out of range.
SELECT binhash_config('max_pixels', 0);
SELECT binhash_config('max_pixels', -1);
SELECT binhash_config('max_pixels', 250000001);
SELECT binhash_config('max_pixels', 9223372036854775807);
SELECT binhash_config('max_pixels', '1e3');
SELECT binhash_config('max_pixels', 1.5);
SELECT binhash_config('max_pixels', NULL);
SELECT binhash_config('max_pixels', 'many');
SELECT binhash_config('max_pixels', x'31');
SELECT binhash_config('threads', 0);
SELECT binhash_config('threads', 257);
SELECT binhash_config('cache_bytes', -1);
SELECT binhash_config('progress', 'loud');
SELECT binhash_config('progress', 1);
SELECT binhash_config('progress', NULL);
SELECT binhash_config('amx', 2);
SELECT binhash_config('amx', -1);
SELECT binhash_config('max_pixels');
-- Names.
SELECT binhash_config('nosuch');
SELECT binhash_config('nosuch', 1);
SELECT binhash_config('');
SELECT binhash_config(NULL);
SELECT binhash_config(1);
SELECT binhash_config('MAX_PIXELS');
SELECT binhash_config();
SELECT binhash_config('a', 1, 2);
-- A schema may not set.
CREATE VIEW raises AS SELECT binhash_config('max_pixels', 250000000);
SELECT * FROM raises;
CREATE TABLE t(a);
CREATE TRIGGER sets AFTER INSERT ON t BEGIN SELECT binhash_config('cache_bytes', 0); END;
INSERT INTO t VALUES (1);
SELECT binhash_config('cache_bytes');
-- Version and information.
SELECT binhash_version() GLOB '[0-9]*.[0-9]*.[0-9]*', typeof(binhash_version());
SELECT json_valid(binhash_info());
SELECT key, type FROM json_each(binhash_info());
SELECT json_extract(binhash_info(), '$.version') = binhash_version(), json_extract(binhash_info(), '$.sqlite') = sqlite_version(), json_extract(binhash_info(), '$.default_model'), json_extract(binhash_info(), '$.forward_passes');
SELECT json_extract(binhash_info(), '$.default_model') = name FROM binhash_models WHERE is_default;
SELECT json_extract(binhash_info(), '$.kernel') IN ('swar', 'popcnt', 'avx2', 'avx512', 'neon');
CREATE VIEW version AS SELECT binhash_version() IS NOT NULL AS known;
PRAGMA trusted_schema = OFF;
SELECT known FROM version;
SELECT binhash_info(1);
SELECT binhash_version(1);
-- Loading twice changes nothing.
SELECT binhash_config('max_pixels', 77);
.load ./build/binhash
SELECT binhash_config('max_pixels');
