#!/usr/bin/env python3
"""binhash-import on networks of Caffe that are drawn here.  Prints TAP.

    caffe_import.py IMPORT RUN FOLDER

IMPORT and RUN are binhash-import and binhash-run; FOLDER is for files.
"""
import os
import subprocess

import numpy as np

import caffe_files as cf
from caffe_files import V0, V1, V2, Layer
from caffe_harness import (compare, conv, differs, drawn, inner, layer_output,
                           network, small, tool, write)
from import_host import IMPORT, finish, path, result


def test_generations():
    """Each text with each binary: one model, to the byte."""
    rng = np.random.default_rng(5)
    layers = small(rng)
    x = rng.standard_normal((3, 15, 13))
    head = cf.deploy((3, 15, 13))
    files = {'V0': cf.caffemodel(layers, V0),
             'V1': cf.caffemodel(layers, V1),
             'current': cf.caffemodel(layers, V2),
             'current, 4-d blobs': cf.caffemodel(layers, V2, legacy=True),
             'current, not packed': cf.caffemodel(layers, V2, packed=False),
             'current, double': cf.caffemodel(layers, V2, double=True)}
    first = None
    for text in (V0, V1, V2):
        for kind, data in files.items():
            problem = compare(layers, x, head, text, data)
            with open(path('out.safetensors'), 'rb') as f:
                model = f.read()
            first = first or model
            if model != first:
                problem += 'the model differs from that of V0 and V0'
            result('text %s, weights %s' % (text, kind), problem)


def test_padding():
    """V0's padding layers, beside a convolution that pads itself."""
    rng = np.random.default_rng(6)
    a, b = conv(rng, 'a', 'data', 3, 4, 3, pad=3), conv(rng, 'b', 'a', 4, 2, 3)
    plain = [a, b]
    pad = ('layers { layer { name: "pad1" type: "padding" pad: 2 } '
           'bottom: "data" top: "pad1" }\n')
    folded = conv(rng, 'a', 'pad1', 3, 4, 3, pad=1)
    folded.blobs = a.blobs
    text = 'name: "n"\n' + cf.deploy((3, 8, 9)) + pad + cf.text_of(
        folded, V0) + cf.text_of(b, V0)
    x = rng.standard_normal((3, 8, 9))
    status, err, _ = tool(text, cf.caffemodel(plain, V0), '--mean', '0')
    result('padding is folded into a convolution', err if status else differs(
        layer_output(x, 'b'), cf.forward(plain, x)[0]['b'], 'b'))
    text = text.replace('type: "conv"', 'type: "pool"', 1)
    status, err, _ = tool(text, cf.caffemodel(plain, V0))
    result('padding before a pooling is refused', '' if status == 1 and
           'layer a: a padding layer before Pooling' in err else err or 'not')


def test_convolutions():
    for i in range(40):
        rng = np.random.default_rng(100 + i)
        group = int(rng.integers(1, 4))
        inputs, outputs = group * int(rng.integers(1, 4)), group * int(
            rng.integers(1, 4))
        p = {'group': group} if group > 1 or i % 2 else {}
        if i % 3 == 0:
            kernel = None
            p.update(kernel_h=int(rng.integers(1, 4)),
                     kernel_w=int(rng.integers(1, 5)))
        else:
            kernel = [int(n) for n in rng.integers(1, 4, 2)]
            kernel = kernel[0] if i % 3 == 1 else kernel
        if i % 2:
            p.update(stride_h=int(rng.integers(1, 4)),
                     stride_w=int(rng.integers(1, 4)),
                     pad_h=int(rng.integers(0, 4)),
                     pad_w=int(rng.integers(0, 4)))
        else:
            p.update(stride=int(rng.integers(1, 4)),
                     pad=int(rng.integers(0, 4)))
        if i % 4 > 1:
            p['dilation'] = int(rng.integers(1, 4))
        if i % 5 == 0:
            p['bias_term'] = False
        shape = (inputs, int(rng.integers(10, 15)), int(rng.integers(13, 18)))
        layers = [conv(rng, 'c', 'data', inputs, outputs, kernel, **p)]
        # 2 of 40 have no grey and no colour: their number of channels warns
        result('convolution %d' % i, compare(
            layers, rng.standard_normal(shape), cf.deploy(shape))
            if inputs != 1 else '')


def test_poolings():
    for i in range(40):
        rng = np.random.default_rng(200 + i)
        kernel = [int(n) for n in rng.integers(1, 5, 2)]
        p = {'pool': ['MAX', 'AVE'][i % 2], 'kernel_h': kernel[0],
             'kernel_w': kernel[1],
             'stride_h': int(rng.integers(1, kernel[0] + 1)),
             'stride_w': int(rng.integers(1, kernel[1] + 1))}
        if i % 4 > 1:
            p.update(pad_h=int(rng.integers(0, kernel[0])),
                     pad_w=int(rng.integers(0, kernel[1])))
        if i % 3 == 0:
            p['round_mode'] = 'FLOOR'
        if i % 10 == 0:
            p = {'pool': p['pool'], 'global_pooling': True}
        shape = (3, int(rng.integers(5, 12)), int(rng.integers(5, 12)))
        result('pooling %d' % i, compare(
            [Layer('Pooling', 'p', 'data', **p)], rng.standard_normal(shape),
            cf.deploy(shape)))


def norm(rng, channels, factor):
    return [drawn(rng, channels) * max(factor, 1),
            np.abs(drawn(rng, channels)) * max(factor, 1) + 0.1,
            np.array([factor])]


def test_layers():
    rng = np.random.default_rng(7)
    x = rng.standard_normal((4, 6, 5))
    one = {
        'LRN': [Layer('LRN', 'a', 'data')],
        'LRN with k': [Layer('LRN', 'a', 'data', local_size=3, alpha=0.2,
                             beta=0.6, k=2.0)],
        'ReLU with a slope': [Layer('ReLU', 'a', 'data',
                                    negative_slope=0.125)],
        'TanH': [Layer('TanH', 'a', 'data')],
        'Power': [Layer('Power', 'a', 'data', scale=0.5, shift=-1.25)],
        'BatchNorm': [Layer('BatchNorm', 'a', 'data', eps=0.001,
                            blobs=norm(rng, 4, 123.5))],
        'BatchNorm of nothing': [Layer('BatchNorm', 'a', 'data',
                                       blobs=norm(rng, 4, 0))],
        'BatchNorm and Scale in place': [
            conv(rng, 'c', 'data', 4, 6, 3, bias_term=False),
            Layer('BatchNorm', 'b', 'c', 'c', blobs=norm(rng, 6, 3)),
            Layer('Scale', 's', 'c', 'c', bias_term=True,
                  blobs=[drawn(rng, 6), drawn(rng, 6)]),
            Layer('ReLU', 'r', 'c', 'c'),
            conv(rng, 'd', 'c', 6, 2, 1)],
        'Scale without bias': [Layer('Scale', 'a', 'data',
                                     blobs=[drawn(rng, 4)])],
        'a gate': [Layer('Pooling', 'g', 'data', pool='AVE',
                         global_pooling=True),
                   inner(rng, 'f', 'g', 4, 4),
                   Layer('Sigmoid', 's', 'f', 'f'),
                   Layer('Scale', 'a', ['data', 'f'], axis=0)],
        'sums': [conv(rng, 'c', 'data', 4, 4, 1),
                 Layer('Eltwise', 'a', ['data', 'c', 'data']),
                 Layer('Eltwise', 'b', ['a', 'c'], operation='SUM',
                       coeff=[0.5, -2.0])],
        'products and maxima': [
            conv(rng, 'c', 'data', 4, 4, 1),
            Layer('Eltwise', 'a', ['data', 'c'], operation='PROD'),
            Layer('Eltwise', 'b', ['data', 'c', 'a'], operation='MAX')],
        'slices': [Layer('Slice', 's', 'data', ['x', 'y', 'z'],
                         slice_point=[1, 2]),
                   Layer('Concat', 'a', ['z', 'x']),
                   Layer('Slice', 't', 'a', ['u', 'v'], axis=2),
                   Layer('Concat', 'b', ['u', 'v'], axis=3)],
        'reshapes': [Layer('Reshape', 'a', 'data',
                           shape='{ dim: 0 dim: 2 dim: -1 dim: 3 }'),
                     Layer('Reshape', 'b', 'a', shape='{ dim: 0 dim: -1 }'),
                     inner(rng, 'f', 'b', 120, 3)],
        'inner products': [Layer('Flatten', 'f', 'data'),
                           inner(rng, 'a', 'f', 120, 5, transpose=True),
                           inner(rng, 'b', 'a', 5, 7, axis=1),
                           Layer('Softmax', 'p', 'b', axis=1)],
        'softmax of every pixel': [Layer('Softmax', 'p', 'data')],
        'sides that a pool must round': [
            Layer('Pooling', 'a', 'data', pool='MAX', kernel_size=3,
                  stride=2),
            Layer('Pooling', 'b', 'a', pool='AVE', kernel_size=2, stride=2,
                  pad=1)]}
    for name, layers in one.items():
        result(name, compare(layers, x, cf.deploy(x.shape)))


# Data layers, phases, means --------------------------------------------------


def test_training_text():
    """What a training network says beside the layers that compute."""
    rng = np.random.default_rng(8)
    layers = small(rng)
    layers[-1] = Layer('SoftmaxWithLoss', 'loss', ['class', 'label'])
    weights = cf.caffemodel(layers, V2)
    write('mean.binaryproto', cf.binaryproto(
        np.array([10, 20, 30.5]).reshape(1, 3, 1, 1) * np.ones((1, 3, 4, 4))))
    train = '''# comments, and fields in other spellings
layer { name: "data" type: "Data" top: "data" top: "label"
  include { phase: TRAIN }
  transform_param { mirror: true crop_size: 9 mean_value: 1 } }
layer { name: "data" type: 'Da' "ta" top: "data" top: "label"
  include: < phase: TEST >;
  transform_param { crop_size: 0xf, scale: .5f mean_file: "%s" } }
''' % path('mean.binaryproto')
    extra = '''layer { name: "acc" type: "Accuracy" bottom: "class"
  bottom: "label" top: "acc" include { phase: TEST } }
layer { name: "aux" type: "Nothing" bottom: "class" top: "aux"
  include { phase: TRAIN } }
layer { name: "gone" type: "Nothing" bottom: "class" top: "gone"
  exclude { phase: TEST } }
layer { name: "hush" type: "Silence" bottom: "label" }
'''
    text = cf.prototxt(layers, V2, train) + extra
    status, err, _ = tool(text, weights)
    got = network() if not status else {}
    want = {'order': 'BGR', 'resize': 'bilinear', 'aspect': 'stretch',
            'size': [15, 15], 'mean': [10, 20, 30.5], 'scale': [.5, .5, .5]}
    problem = err if status or err else ''
    if not problem and got['preprocess'] != want:
        problem = got['preprocess']
    names = [l['name'] for l in got.get('layers', [])]
    if not problem and names != ['c1', 'r1', 'p1', 'n1', 'c2', 'r2', 'cat',
                                 'p2', 'fc', 'r3', 'latent', 'code', 'class',
                                 'loss']:
        problem = names
    if not problem and got['layers'][-1]['type'] != 'Softmax':
        problem = got['layers'][-1]
    if not problem and got['aliases'] != {
            'd3': 'r3', 'both': 'cat', 'latent_sigmoid': 'code'}:
        problem = got['aliases']
    head = {'name': 'out', 'latent': 'code', 'features': 'r3',
            'classifier': 'loss'}
    if not problem and got['heads'] != [head]:
        problem = got['heads']
    result('a training network', problem)

    def changed(name, before, after, says, options=(), expect=None):
        status, err, _ = tool(text.replace(before, after), weights, *options)
        ok = says in err and (status == 1) == (expect is None)
        if ok and expect is not None:
            ok = network()['preprocess'] == dict(want, **expect)
        result(name, '' if ok else '%s %s' % (
            err, network()['preprocess'] if not status else ''))

    changed('a mean file that is missing', 'mean.binaryproto', 'nomean',
            'nomean", cannot be read, neither there nor as')
    changed('its place taken by --mean', 'mean.binaryproto', 'nomean', '',
            ['--mean', '1,2,3'], {'mean': [1, 2, 3]})
    changed('a mean file beside the network', 'mean_file: "', 'mean_file: "/',
            '', (), {})
    changed('no mean', 'mean_file', 'mean_fill', 'none is taken off', (),
            {'mean': [0, 0, 0]})
    changed('a field that nobody knows', 'mean_file', 'mean_fill',
            'line 8: the field mean_fill of TransformationParameter is not '
            'known', (), {'mean': [0, 0, 0]})
    changed('no size', 'crop_size: 0xf,', '', 'no cropsize')
    changed('a size from --crop', 'crop_size: 0xf,', '', '',
            ['--crop', '13x15', '--resize', '20x15', '--order', 'rgb'],
            {'size': [15, 20], 'order': 'RGB'})
    changed('--std', 'crop_size', 'crop_size', '', ['--std', '2,4,8'],
            {'scale': [.5, .25, .125]})
    changed('--resize N keeps the aspect', 'crop_size', 'crop_size', '',
            ['--resize', '32'], {'size': [32, 32], 'aspect': 'crop'})
    changed('--resize below the input', 'crop_size', 'crop_size',
            'fewer than the 15 x 15', ['--resize', '14'])
    changed('a mean file that is none', 'crop_size', 'crop_size',
            'not a binaryproto of a mean', ['--mean', path('net.prototxt')])
    grey = write('grey.binaryproto', cf.binaryproto(np.ones((1, 1, 4, 4))))
    changed('a mean of other channels', 'crop_size', 'crop_size',
            'a mean of 1 channels and 16 values, the input has 3 channels',
            ['--mean', grey])
    uneven = write('uneven.binaryproto', cf.binaryproto(
        np.arange(12).reshape(1, 3, 2, 2)))
    changed('a mean image that is not even', 'crop_size', 'crop_size',
            'from which its pixels are up to 1.5 away', ['--mean', uneven],
            {'mean': [1.5, 5.5, 9.5]})


def test_mean_values():
    layers = small(np.random.default_rng(8))
    weights = cf.caffemodel(layers, V2)
    for values, want in (([7], [7, 7, 7]), ([7, 8, 9], [7, 8, 9]),
                         ([7, 8], None)):
        data = ('layer { name: "data" type: "Input" top: "data" input_param { '
                'shape: { dim: [10, 3, 15, 13] } } transform_param { %s } }\n'
                % ' '.join('mean_value: %d' % v for v in values))
        status, err, _ = tool(cf.prototxt(layers, V2, data), weights)
        problem = ''
        if want is None:
            if status != 1 or '2 mean_values for 3 channels' not in err:
                problem = err or 'imported'
        elif status or err or network()['preprocess']['mean'] != want:
            problem = err or network()['preprocess']
        result('mean_value %s' % values, problem)


def test_grey():
    rng = np.random.default_rng(9)
    layers = [conv(rng, 'c', 'data', 1, 4, 3), inner(rng, 'l', 'c', 144, 5),
              Layer('Sigmoid', 's', 'l', 's')]
    head = cf.deploy((1, 8, 8))
    status, err, _ = tool(cf.prototxt(layers, V2, head),
                          cf.caffemodel(layers, V2), '--mean', '33')
    x = rng.standard_normal((3, 8, 8))
    grey = x[:1] * 0.114 + x[1:2] * 0.587 + x[2:] * 0.299
    result('a network of grey pictures', err if status or network()[
        'preprocess']['mean'] != [33, 33, 33] else differs(
            layer_output(x, 's'), cf.forward(layers, grey)[0]['s'], 's'))


# Errors ----------------------------------------------------------------------


def test_errors():
    rng = np.random.default_rng(12)
    layers = small(rng)
    text = cf.prototxt(layers, V2, cf.deploy((3, 15, 13)))
    weights = cf.caffemodel(layers, V2)

    def refused(name, says, net=text, model=weights, place='net.prototxt: '):
        write('old.safetensors', 'what was there')
        status, err, _ = tool(net, model, '--mean', '0', out='old.safetensors')
        with open(path('old.safetensors')) as f:
            kept = f.read() == 'what was there'
        left = os.path.exists(path('old.safetensors.new'))
        ok = (status == 1 and says in err and kept and not left and
              place in err and err.startswith('binhash-import: '))
        result(name, '' if ok else '%d %s %s' % (status, kept, err))

    def edited(name, before, after, says):
        assert before in text
        refused(name, says, text.replace(before, after, 1))

    without = [l for l in layers if l.name != 'c2']
    refused('a layer without weights', 'layer c2: weights of 6 x 4 x 3 x 3 are '
            'missing: %s has no blobs for a layer of this name' % path(
                'net.caffemodel'), model=cf.caffemodel(without, V2))
    few = small(np.random.default_rng(12))
    few[0].blobs.pop()
    refused('a layer without biases', 'layer c1: biases of 8 are missing',
            model=cf.caffemodel(few, V2))
    few[0] = conv(rng, 'c1', 'data', 3, 8, 5, stride=2)
    refused('weights of another shape', 'layer c1: weights of 8 x 3 x 3 x 3 '
            'were expected, and %s has 8 x 3 x 5 x 5' % path(
                'net.caffemodel'), model=cf.caffemodel(few, V2))
    refused('an input of another size', 'layer fc: weights of 20 x 84 were '
            'expected', text.replace('input_dim: 15', 'input_dim: 19'))
    edited('an unknown type', '"Pooling"', '"Deconvolution"',
           'layer p1: the type Deconvolution is not supported; BatchNorm, ')
    edited('stochastic pooling', 'pool: MAX', 'pool: STOCHASTIC',
           'layer p1: STOCHASTIC pooling is not supported; MAX and AVE are')
    edited('LRN within a channel', 'local_size: 3',
           'local_size: 3 norm_region: WITHIN_CHANNEL',
           'layer n1: norm_region WITHIN_CHANNEL is not supported')
    edited('LRN of an even size', 'local_size: 3', 'local_size: 4',
           'layer n1: local_size 4; an odd number was expected')
    edited('a bottom of nowhere', 'bottom: "p1"', 'bottom: "p9"',
           'layer n1: its bottom p9 is written by no layer before it')
    edited('two layers of a name', 'name: "r3"', 'name: "r2"',
           'layer r2: two layers have this name')
    edited('a kernel over the edge', 'kernel_size: 3', 'kernel_size: 99',
           'layer c1: a window of 99 on a side of 15 with padding')
    edited('three kernels', 'kernel_size: 3',
           'kernel_size: 3 kernel_size: 3 kernel_size: 3',
           'layer c1: kernel_size has 3 numbers')
    edited('no kernel', 'kernel_size: 3', '',
           'layer c1: kernel_size 0; 1 to 65535 were expected')
    edited('groups that do not divide', 'group: 2', 'group: 3',
           'layer c2: 3 groups of 8 channels into 6')
    edited('no outputs', 'num_output: 8', '', 'layer c1: num_output of 1 to')
    edited('another generation', 'layer {', 'layers { type: RELU } layer {',
           'layers of two generations, 15 called "layer" and 1 called "layers"')
    edited('a word for a number', 'local_size: 3', 'local_size: three',
           'line 30: expected a whole number, not three')
    edited('a word that is no enum', 'pool: MAX', 'pool: MOST',
           'MOST is no PoolMethod')
    edited('a brace too few', 'local_size: 3 ', 'local_size: 3 { ',
           'line ')
    edited('a string without an end', '"prob"', '"prob', 'a string without an '
           'end')
    refused('a text that ends early', 'ends within a message', text[:-3])
    refused('no layers', 'without layers', cf.deploy((3, 15, 13)))
    refused('no input', 'no input', text[text.index('layer'):])
    refused('a text that is none', 'line 2: expected a field',
            weights.decode('latin1'))
    refused('an empty text', 'not a file with something in it', '')
    refused('nesting without end', 'nested too deep', 'a {' * 1000)
    refused('a caffemodel cut short', 'not a caffemodel, or cut short',
            model=weights[:-7], place='net.caffemodel: ')
    refused('a caffemodel that is none', 'not a caffemodel, or cut short',
            model=b'\x89PNG\r\n\x1a\n' * 9, place='net.caffemodel: ')
    refused('an empty caffemodel', 'without layers',
            model=cf.piece(1, b'x'), place='net.caffemodel: ')
    # 2 bytes each, of which a struct of hundreds is made
    refused('a caffemodel that swells', 'not a caffemodel, or cut short',
            model=cf.piece(100, b'') * 3000000, place='net.caffemodel: ')
    done = subprocess.run([IMPORT, 'caffe', path('nosuch'), path('nosuch'),
                           '-o', path('x')], capture_output=True)
    result('a file that is missing', '' if done.returncode == 1 and
           b'nosuch: No such file' in done.stderr else done.stderr.decode())


def test_usage():
    for name, words, says in (
            ('no format', [], 'no format'),
            ('an unknown format', ['torch'], 'unknown format torch'),
            ('files too few', ['caffe', 'a', '-o', 'b'], 'files are missing'),
            ('files too many', ['caffe', 'a', 'b', 'c'], 'not also c'),
            ('no output', ['caffe', 'a', 'b'], '-o MODEL is missing'),
            ('an unknown option', ['--frob', 'x'], 'unknown option --frob'),
            ('bits', ['--bits', '1025'], 'out of range: --bits'),
            ('a size', ['--crop', '12y'], 'out of range: --crop'),
            ('an order', ['--order', 'grb'], 'out of range: --order')):
        done = subprocess.run([IMPORT] + words, capture_output=True)
        ok = done.returncode == 2 and says in done.stderr.decode()
        result('usage: ' + name, '' if ok else done.stderr.decode())
    done = subprocess.run([IMPORT, '--list'], capture_output=True)
    ok = done.returncode == 0 and b'Convolution' in done.stdout
    result('--list', '' if ok else done.stderr.decode())


for test in (test_generations, test_padding, test_convolutions, test_poolings,
             test_layers, test_training_text, test_mean_values, test_grey,
             test_errors, test_usage):
    test()
finish()
