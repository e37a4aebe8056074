-- The model `pixels`: what the perceptual hash sees, 32x32 pixels by area
-- averaging, whatever the model sees that is evaluated.  Its layer `data` is all
-- that is asked for; the code of one bit, whether the mean is above 0, is there
-- because a model has one.  The file (weights/README.md): the header's length,
-- 1016, the header, and three weights of 1.
SELECT binhash_load('pixels', CAST(x'f803000000000000' || printf('%-1016s',
  json_object('__metadata__', json_object(
      'format', 'binhash', 'format_version', '1', 'network', json_object(
        'input', json('{"name":"data","channels":3,"height":32,"width":32}'),
        'preprocess', json('{"order":"RGB","resize":"area"}'),
        'layers', json('[
          {"name":"mean","type":"Pooling","bottom":["data"],"pool":"AVE",
           "global_pooling":true},
          {"name":"bright","type":"InnerProduct","bottom":["mean"],
           "num_output":1,"weight":"w"}]'),
        'heads', json('[{"name":"pixels","latent":"bright"}]')) || ''),
    'w', json('{"dtype":"F32","shape":[1,3],"data_offsets":[0,12]}'))) ||
  x'0000803f0000803f0000803f' AS BLOB));
