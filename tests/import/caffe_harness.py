"""What the tests of Caffe's files share: networks drawn, imported, compared.

Every layer of an imported network is compared with numpy (caffe_files.py).
"""
import json
import struct
import subprocess

import numpy as np

import caffe_files as cf
from caffe_files import V2, Layer
from import_host import IMPORT, RUN, path, result

TOLERANCE = 2e-6     # relative to a layer's largest value; float32's rounding


def write(name, data):
    mode = 'wb' if isinstance(data, bytes) else 'w'
    with open(path(name), mode) as f:
        f.write(data)
    return path(name)


def tool(text, weights, *options, out='out.safetensors'):
    """(exit status, standard error, standard output) of an import."""
    done = subprocess.run(
        [IMPORT, 'caffe', write('net.prototxt', text),
         write('net.caffemodel', weights), '-o', path(out)] + list(options),
        capture_output=True)
    return done.returncode, done.stderr.decode(), done.stdout.decode()


def network(name='out.safetensors'):
    """The description in a model file."""
    with open(path(name), 'rb') as f:
        header = json.loads(f.read(struct.unpack('<Q', f.read(8))[0]))
    return json.loads(header['__metadata__']['network'])


def layer_output(x, layer, name='out.safetensors'):
    done = subprocess.run([RUN, path(name), layer], input=x.astype(
        '<f4').tobytes(), capture_output=True)
    if done.returncode:
        raise RuntimeError(done.stderr.decode())
    return np.frombuffer(done.stdout, '<f4')


def differs(got, want, what):
    want = np.asarray(want, np.float64).reshape(-1)
    if got.size != want.size:
        return '%s: %d values, not %d\n' % (what, got.size, want.size)
    most = np.abs(want).max() or 1
    worst = np.abs(got - want).max() / most
    return '' if worst <= TOLERANCE else '%s: off by %.2g of its largest\n' % (
        what, worst)


def compare(layers, x, shape_head, generation=V2, weights=None, options=()):
    """What is wrong with the imported network, layer by layer."""
    status, err, _ = tool(
        cf.prototxt(layers, generation, shape_head),
        weights or cf.caffemodel(layers, generation), '--mean', '0', *options)
    if status:
        return err
    problem = ''
    out, blobs = cf.forward(layers, x)
    for name in set(out) | set(blobs):
        want = out.get(name, blobs.get(name))
        problem += differs(layer_output(x, name), want, name)
    return problem


# Drawing ---------------------------------------------------------------------


def drawn(rng, *shape):
    return (rng.standard_normal(shape) / np.sqrt(
        np.prod(shape[1:]) or 1)).astype(np.float32)


def conv(rng, name, bottom, inputs, outputs, kernel, **p):
    kh, kw = cf.pair(dict(p, kernel_size=kernel) if kernel else p,
                     'kernel_size', 0)
    if kernel:
        p['kernel_size'] = kernel
    blobs = [drawn(rng, outputs, inputs // p.get('group', 1), kh, kw)]
    if p.get('bias_term', True):
        blobs.append(drawn(rng, outputs))
    return Layer('Convolution', name, bottom, blobs=blobs,
                 num_output=outputs, **p)


def inner(rng, name, bottom, inputs, outputs, **p):
    w = drawn(rng, outputs, inputs)
    return Layer('InnerProduct', name, bottom, num_output=outputs, blobs=[
        np.ascontiguousarray(w.T) if p.get('transpose') else w] + (
            [drawn(rng, outputs)] if p.get('bias_term', True) else []), **p)


def small(rng):
    """Only what all three generations can say; 3 x 15 x 13, latent layer."""
    return [
        conv(rng, 'c1', 'data', 3, 8, 3, stride=2),
        Layer('ReLU', 'r1', 'c1', 'c1'),
        Layer('Pooling', 'p1', 'c1', pool='MAX', kernel_size=3, stride=2),
        Layer('LRN', 'n1', 'p1', local_size=3, alpha=0.5, beta=0.75),
        conv(rng, 'c2', 'n1', 8, 6, 3, group=2, pad=1),
        Layer('ReLU', 'r2', 'c2', 'c2'),
        Layer('Concat', 'cat', ['n1', 'c2'], 'both'),
        Layer('Pooling', 'p2', 'both', pool='AVE', kernel_size=2, stride=1),
        inner(rng, 'fc', 'p2', 14 * 2 * 2, 20),
        Layer('ReLU', 'r3', 'fc', 'fc'),
        Layer('Dropout', 'd3', 'fc', 'fc'),
        inner(rng, 'latent', 'fc', 20, 12),
        Layer('Sigmoid', 'code', 'latent', 'latent_sigmoid'),
        inner(rng, 'class', 'latent_sigmoid', 12, 4, bias_term=False),
        Layer('Softmax', 'prob', 'class')]
