"""What the tests of the ONNX importer share: an import, a run, and onnxruntime.

Everything that is imported is compared with onnxruntime's reading of the same
file, at batch 1 and 8, relative to the largest value of the output.
"""
import os
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

BATCHES = (1, 8)


class Refused(Exception):
    """The importer said no; the text is what it said."""


class Tool:
    """binhash-import and binhash-run, with a folder for their files."""

    def __init__(self, importer, runner, folder):
        self.importer, self.runner, self.folder = importer, runner, folder
        os.makedirs(folder, exist_ok=True)
        self.count = self.failures = 0

    def path(self, name):
        return os.path.join(self.folder, name)

    def result(self, name, problem=''):
        self.count += 1
        self.failures += bool(problem)
        print('%sok %d - import onnx %s' % ('not ' if problem else '',
                                            self.count, name))
        for line in str(problem).splitlines()[:12]:
            print('# ' + line)
        sys.stdout.flush()

    def imports(self, source, *options, out='out.safetensors'):
        """Standard output of an import; source is a path, or bytes."""
        if isinstance(source, bytes):
            with open(self.path('net.onnx'), 'wb') as f:
                f.write(source)
            source = self.path('net.onnx')
        done = subprocess.run(
            [self.importer, 'onnx', source, '-o', self.path(out)] +
            list(options), capture_output=True)
        if done.returncode == 1:
            raise Refused(done.stderr.decode())
        if done.returncode:
            raise RuntimeError('status %d: %s' % (done.returncode,
                                                  done.stderr.decode()))
        return done.stdout.decode() + done.stderr.decode()

    def run(self, x, layer=None, batch=1, out='out.safetensors'):
        done = subprocess.run(
            [self.runner, self.path(out)] + ([layer] if layer else []) +
            ['--batch', str(batch)], input=x.astype('<f4').tobytes(),
            capture_output=True)
        if done.returncode:
            raise RuntimeError(done.stderr.decode())
        return np.frombuffer(done.stdout, '<f4')

    def layers(self, out='out.safetensors'):
        """{name: [C, H, W]} of a model, the input first."""
        done = subprocess.run([self.runner, self.path(out), '--list'],
                              capture_output=True, check=True)
        rows = [line.split('\t') for line in
                done.stdout.decode().splitlines()[1:]]
        return {row[0]: [int(n) for n in row[1].split(' x ')] for row in rows}


def session(source):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(source, options,
                                        providers=['CPUExecutionProvider'])


def off(got, want):
    """The largest difference, relative to the largest value."""
    want = np.asarray(want, np.float64).reshape(-1)
    if got.size != want.size:
        return float('inf')
    most = np.abs(want).max() or 1
    difference = np.abs(got - want).max() / most
    return difference if difference == difference else float('inf')


def images(rng, batch, shape, nhwc=False):
    x = rng.standard_normal((batch,) + tuple(shape)).astype(np.float32)
    return x, (x.transpose(0, 3, 1, 2) if nhwc else x)


def compare(tool, source, shape, rng, nhwc=False, outputs=None, options=(),
            batches=BATCHES):
    """The largest difference at every batch and of every output."""
    tool.imports(source, *options)
    peer = session(source)
    worst = 0
    for batch in batches:
        x, own = images(rng, batch, shape, nhwc)
        wants = peer.run(None, {peer.get_inputs()[0].name: x})
        for i, want in enumerate(wants):
            layer = outputs[i] if outputs else None
            worst = max(worst, off(tool.run(own, layer, batch), want))
    return worst


# Making graphs ---------------------------------------------------------------


class Graph:
    """Nodes and tensors of one small network."""

    def __init__(self, rng, opset, shape, batch='N'):
        self.rng, self.opset, self.shape = rng, opset, list(shape)
        self.nodes, self.tensors, self.outputs = [], [], []
        self.batch, self.names = batch, 0

    def name(self, prefix='t'):
        self.names += 1
        return '%s%d' % (prefix, self.names)

    def tensor(self, values, dtype=np.float32):
        name = self.name('w')
        self.tensors.append(numpy_helper.from_array(
            np.asarray(values, dtype), name))
        return name

    def ints(self, values):
        return self.tensor(values, np.int64)

    def weights(self, *shape, spread=1.0):
        return self.tensor(self.rng.uniform(-spread, spread, shape))

    def add(self, kind, inputs, outputs=1, name=None, **attributes):
        given = [self.name() for _ in range(outputs)]
        self.nodes.append(helper.make_node(
            kind, inputs, given, name=name or '',
            **{k: v for k, v in attributes.items() if v is not None}))
        return given[0] if outputs == 1 else given

    def bytes(self, *outputs):
        """The model; what is no output is named after nobody."""
        x = helper.make_tensor_value_info('x', TensorProto.FLOAT,
                                          [self.batch] + self.shape)
        inputs = [x]
        if self.opset < 9:   # initialisers were listed among the inputs
            inputs += [helper.make_tensor_value_info(t.name, t.data_type,
                                                     t.dims)
                       for t in self.tensors]
        graph = helper.make_graph(
            self.nodes, 'g', inputs,
            [helper.make_tensor_value_info(y, TensorProto.FLOAT, None)
             for y in outputs], self.tensors)
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid('', self.opset)])
        model.ir_version = 3 if self.opset < 9 else 8
        return model.SerializeToString()


def argument(g, kind, inputs, name, values, since):
    """A list that is an attribute before opset `since`, and then an input."""
    if g.opset < since:
        return inputs, {name: list(values)}
    return inputs + [g.ints(values)], {}


def first(tool_arguments):
    if len(tool_arguments) < 4:
        sys.exit('usage: IMPORT RUN FOLDER')
    return Tool(*tool_arguments[1:4])


__all__ = ['BATCHES', 'Graph', 'Refused', 'Tool', 'argument', 'compare',
           'first', 'helper', 'images', 'numpy_helper', 'off', 'onnx',
           'session', 'TensorProto']
