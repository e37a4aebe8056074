#!/usr/bin/env python3
"""binhash-import on files of ONNX that are written here.  Prints TAP.

    onnx_import.py IMPORT RUN FOLDER

What needs no other engine: a network of the paper's form against numpy, the
names of its layers, channels that come last, sizes that are left open, and what
is refused with which sentence.
"""
import json
import os
import struct
import subprocess

import numpy as np

from import_host import FOLDER, IMPORT, RUN, finish, path, result, title
from onnx_files import model, node, tensor


def tool(data, *options):
    """(status, standard error, the model's description)."""
    out = path('out.safetensors')
    if os.path.exists(out):
        os.remove(out)
    with open(path('net.onnx'), 'wb') as f:
        f.write(data)
    done = subprocess.run([IMPORT, 'onnx', path('net.onnx'), '-o', out] +
                          list(options), capture_output=True)
    network = None
    if os.path.exists(out):
        with open(out, 'rb') as f:
            header = json.loads(f.read(struct.unpack('<Q', f.read(8))[0]))
        network = json.loads(header['__metadata__']['network'])
    return done.returncode, done.stderr.decode(), network


def blob(x, layer):
    done = subprocess.run([RUN, path('out.safetensors'), layer],
                          input=x.astype('<f4').tobytes(), capture_output=True)
    if done.returncode:
        raise RuntimeError(done.stderr.decode())
    return np.frombuffer(done.stdout, '<f4')


# A network ------------------------------------------------------------------


def weights(rng):
    w = {'mean': [[[120.]], [[110.]], [[100.]]], 'std': 60.,
         'conv_w': rng.normal(0, .5, (6, 3, 1, 1)), 'conv_b':
         rng.normal(0, 1, 6), 'latent_w': rng.normal(0, 1, (6, 48)),
         'latent_b': rng.normal(0, 1, 48), 'class_w':
         rng.normal(0, 1, (10, 48))}
    return {k: np.asarray(v, np.float64) for k, v in w.items()}


def expected(w, x):
    sigmoid = lambda v: 1 / (1 + np.exp(-v))
    out = {'input': x}
    x = (x - w['mean']) / w['std']
    x = np.einsum('oc,chw->ohw', w['conv_w'][:, :, 0, 0], x)
    out['conv'] = x + w['conv_b'][:, None, None]
    out['relu'] = np.maximum(out['conv'], 0)
    out['pool'] = out['relu'].mean((1, 2))
    out['latent'] = out['pool'] @ w['latent_w'] + w['latent_b']
    out['code'] = sigmoid(out['latent'])
    out['fc'] = w['class_w'] @ out['code']
    e = np.exp(out['fc'] - out['fc'].max())
    out['prob'] = e / e.sum()
    return out


def paper(w, first='input', dims=('N', 3, 8, 8), before=()):
    tensors = [tensor(k, v.astype(np.float32)) for k, v in w.items()]
    nodes = list(before) + [
        node('Sub', first + ' mean', 'a', 'sub'),
        node('Div', 'a std', 'b', 'div'),
        node('Conv', 'b conv_w conv_b', 'c', 'conv', kernel_shape=[1, 1]),
        node('Relu', 'c', 'd', 'relu'),
        node('GlobalAveragePool', 'd', 'e', 'pool'),
        node('Flatten', 'e', 'f', 'flat'),
        node('MatMul', 'f latent_w', 'g', 'latent'),
        node('Add', 'g latent_b', 'h', 'latent_bias'),
        node('Sigmoid', 'h', 'i', 'code'),
        node('Gemm', 'i class_w', 'j', 'fc', transB=1),
        node('Softmax', 'j', 'y', 'prob', axis=-1)]
    return model(nodes, tensors, [('input', list(dims))])


def check_paper(name, data, w, x, *options):
    status, err, network = tool(data, *options)
    if status:
        return result(name, err)
    problem = ''
    for layer, want in expected(w, x).items():
        got = blob(x, layer)
        want = want.reshape(-1)
        if got.size != want.size:
            problem += '%s: %d values\n' % (layer, got.size)
        elif np.abs(got - want).max() > 2e-6 * np.abs(want).max():
            problem += '%s: off by %g\n' % (layer, np.abs(got - want).max())
    head = network['heads'][0]
    if (head['latent'], head['classifier']) != ('code', 'prob'):
        problem += 'head %s\n' % head
    if network['preprocess']['order'] != 'RGB':
        problem += 'preprocessing %s\n' % network['preprocess']
    result(name, problem)


def check_networks():
    rng = np.random.default_rng(7)
    w, x = weights(rng), rng.uniform(0, 255, (3, 8, 8))
    check_paper('the paper\'s form, layer by layer', paper(w), w, x)
    last = [node('Transpose', 'input', 'nchw', 'order', perm=[0, 3, 1, 2])]
    check_paper('channels last', paper(w, 'nchw', ('N', 8, 8, 3), last), w, x)
    open_sides = paper(w, dims=('N', 3, 'height', 'width'))
    check_paper('open sides with --crop', open_sides, w, x, '--crop', '8')
    status, err, _ = tool(open_sides)
    result('open sides without', '' if status == 1 and
           'input input has no fixed size: say which with --crop' in err
           else err)
    status, err, network = tool(paper(w), '--mean', '123.675,116.28,103.53',
                                '--std', '58.395,57.12,57.375', '--order',
                                'bgr', '--resize', '16', '--latent', 'relu')
    p = network and network['preprocess']
    result('options', '' if status == 0 and p['order'] == 'BGR' and
           p['size'] == [16, 16] and abs(p['mean'][1] - 116.28) < 1e-4 and
           abs(p['scale'][0] * 58.395 - 1) < 1e-5 and
           network['heads'][0]['latent'] == 'relu' else '%s %s' % (err, p))
    types = [layer['type'] for layer in tool(paper(w, 'nchw', (
        'N', 8, 8, 3), last))[2]['layers']]
    result('no layer for what moves nothing', '' if types == [
        'Scale', 'Scale', 'Convolution', 'ReLU', 'Pooling', 'InnerProduct',
        'Sigmoid', 'InnerProduct', 'Softmax'] else types)


def check_shuffle():
    shape = np.array([-1, 2, 3, 4, 4])
    data = model([
        node('Reshape', 'x five', 'a', 'split'),
        node('Transpose', 'a', 'b', 'swap', perm=[0, 2, 1, 3, 4]),
        node('Reshape', 'b four', 'y', 'join')],
        [tensor('five', shape), tensor('four', np.array([-1, 6, 4, 4]))],
        [('x', ['N', 6, 4, 4])])
    status, err, network = tool(data)
    layers = network and [(layer['type'], layer.get('group'))
                          for layer in network['layers']]
    x = np.arange(96.).reshape(6, 4, 4)
    ok = (layers == [('ShuffleChannel', 2)] and
          (blob(x, 'y') == x[[0, 3, 1, 4, 2, 5]].reshape(-1)).all())
    result('a channel shuffle is one layer', '' if ok else
           '%s %s' % (err, layers))


# Refused --------------------------------------------------------------------


def check_refused():
    w = tensor('w', np.zeros((4, 3, 3, 3), np.float32))
    conv = lambda **a: node('Conv', 'x w', 'y', 'conv1', **a)
    relu = node('Relu', 'x', 'y')
    outside = tensor('w', np.zeros((4, 3, 3, 3), np.float32),
                     more=[(14, 1), (13, [(1, 'location'), (2, 'w.bin')])])
    four = [('x', ['N', 3, 8, 8])]
    cases = {
        'node up (Upsample): not supported.  Supported are Add, AveragePool':
            model([node('Upsample', 'x', 'y', 'up')]),
        'node q (QLinearConv): quantised operators are not supported':
            model([node('QLinearConv', 'x', 'y', 'q')]),
        'node d (DequantizeLinear): quantised operators':
            model([node('DequantizeLinear', 'x', 'y', 'd')]),
        'node f (FusedConv): it is an operator of com.microsoft':
            model([node('FusedConv', 'x', 'y', 'f', 'com.microsoft')]),
        'node y (Sqrt): supported where all it reads is constant':
            model([node('Sqrt', 'x', 'y')]),
        'node conv1 (Conv): the values of w lie in another file':
            model([conv()], [outside]),
        'node conv1 (Conv): it reads w, which nothing before it gives':
            model([conv()]),
        'node conv1 (Conv): weights of 4 x 3 x 3 x 3 in 2 groups for 3':
            model([conv(group=2)], [w]),
        'node conv1 (Conv): pads has 2 numbers; planes, which want 4':
            model([conv(pads=[1, 1])], [w]),
        'node conv1 (Conv): pads of -1': model([conv(pads=[0, 0, -1, 0])], [w]),
        'node conv1 (Conv): a kernel that covers 9 pixels, the padded input':
            model([conv(dilations=[4, 1])], [w]),
        'node conv1 (Conv): auto_pad is NOTSET, VALID':
            model([conv(auto_pad='HALF')], [w]),
        'node conv1 (Conv): w has 108 values, its shape, 4 x 3 x 3 x 4, wants':
            model([conv()], [tensor('w', np.zeros((4, 3, 3, 3), np.float32),
                                    [4, 3, 3, 4])]),
        'node conv1 (Conv): the values of w have type 8':
            model([conv()], [tensor('w', np.zeros(3, np.float32), dtype=8)]),
        'node conv1 (Conv): input 1, v, depends on the image':
            model([node('Relu', 'x', 'v'), node('Conv', 'x v', 'y', 'conv1')]),
        'opset 6; 7 to 21 are supported': model([relu], opset=6),
        'opset 22; 7 to 21': model([relu], opset=22),
        'two inputs, x and z, and one is supported':
            model([node('Add', 'x z', 'y')],
                  inputs=four + [('z', ['N', 3, 8, 8])]),
        'the graph has no input': model([relu], inputs=[]),
        'input x does not have the four sides of a batch of images':
            model([relu], inputs=[('x', ['N', 3])]),
        'no output is computed from the image':
            model([node('Identity', 'x', 'y')]),
        'output z is given by no node': model([relu], outputs=['z']),
        'node y (Relu): y is given twice': model([relu, relu]),
        'would mix': model([node('Reshape', 'x s', 'y')],
                           [tensor('s', np.array([3, -1]))]),
        'node y (Reshape): 1 x 3 x 8 x 8 cannot take the shape 1 x 5 x 8':
            model([node('Reshape', 'x s', 'y')],
                  [tensor('s', np.array([1, 5, 8]))]),
        'node y (Transpose): it moves the batch':
            model([node('Transpose', 'x', 'y', perm=[1, 0, 2, 3])]),
        'node y (Softmax): it runs over the images':
            model([node('Softmax', 'x', 'y', axis=0)], opset=11),
        'node y (Concat): it works along the batch':
            model([node('Concat', 'x x', 'y', axis=0)]),
        'node y (Slice): steps of 2; 1 is supported':
            model([node('Slice', 'x a b c d', 'y')],
                  [tensor(n, np.array([v])) for n, v in
                   (('a', 0), ('b', 8), ('c', 2), ('d', 2))]),
        'node y (LRN): size of 4': model([node('LRN', 'x', 'y', size=4)]),
        'node y (Gemm): transA': model([node('Gemm', 'x w', 'y', transA=1)],
                                       [w]),
        'node y (Add): a constant of 5 does not go with 1 x 3 x 8 x 8':
            model([node('Add', 'x k', 'y')],
                  [tensor('k', np.zeros(5, np.float32))]),
        'node y (BatchNormalization): the form that trains':
            model([node('BatchNormalization', 'x k k k k', 'y',
                        training_mode=1)],
                  [tensor('k', np.zeros(3, np.float32))]),
        'a constant of 4096 x 4096 x 4096 is too large':
            model([node('ConstantOfShape', 's', 'k'),
                   node('Add', 'x k', 'y')],
                  [tensor('s', np.array([4096] * 3))]),
        'not an ONNX model, or cut short': model([relu])[:-3],
        'not an ONNX model: no graph': b'\x08\x08'}
    for want, data in cases.items():
        status, err, network = tool(data)
        problem = ''
        if status != 1 or network is not None or want not in err:
            problem = 'status %d: %s' % (status, err)
        elif err.count('\n') != 1 or not err.startswith('binhash-import: '):
            problem = err
        result('refuses: ' + want, problem)
    # what no output depends on is not looked at
    status, err, _ = tool(model([node('Upsample', 'x', 'z'), relu]))
    result('a node that no output needs', err if status else '')


def main():
    os.makedirs(FOLDER, exist_ok=True)
    check_networks()
    check_shuffle()
    check_refused()
    finish()


if __name__ == '__main__':
    title('onnx ')
    main()
