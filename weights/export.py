"""From a trained backbone and its heads (recipe.py) to an integer model file.

The network is written down as weights/README.md describes it, in float32 and
with the norms folded into the convolutions and the latent layers;
`build/binhash-import model --int8` makes integers of it, with training pictures
to calibrate on.  A maximum over 2x2 stands behind the ReLU here and before the
norm in training, which is the same: norms of convolutions have no gain of their
own, so all three are monotone.

MirrorMeans are put into the integer network afterwards, since a float32 one has
none: they change no tensor and no range.
"""
import os
import sqlite3
import subprocess

import torch

from integer_form import check_mirrors
from pack import cost, pack
from preprocess import rewritten
from shapes import PackError

IMPORT = os.path.join(os.path.dirname(__file__), '..', 'build',
                      'binhash-import')


class Description:
    """Layers and tensors, one call for each layer; returns its name."""

    def __init__(self):
        self.layers, self.tensors = [], {}

    def add(self, name, kind, bottom, **members):
        self.layers.append(dict(name=name, type=kind, bottom=bottom,
                                **members))
        return name

    def weighted(self, name, kind, bottom, weight, bias, **members):
        self.tensors[name + '.weight'] = weight.detach().cpu().float().numpy()
        self.tensors[name + '.bias'] = bias.detach().cpu().float().numpy()
        return self.add(name, kind, [bottom], num_output=len(bias),
                        weight=name + '.weight', bias=name + '.bias',
                        **members)

    def convolution(self, name, bottom, block):
        weight, bias = block.folded()
        self.weighted(name, 'Convolution', bottom, weight, bias,
                      kernel_size=list(block.conv.kernel_size),
                      pad=list(block.conv.padding) * 2,
                      stride=list(block.conv.stride))
        return self.add(name + '.relu', 'ReLU', [name])

    def backbone(self, net, bottom='data', prefix=''):
        x = self.convolution(prefix + 'stem', bottom, net.stem)
        stages = zip(net.down, net.branch)
        for i, (down, branch) in enumerate(stages, 1):
            x = self.convolution('%sdown%d' % (prefix, i), x, down)
            x = self.pooled('%spool%d' % (prefix, i), x, 'MAX', 2)
            y = x
            for j, block in enumerate(branch, 1):
                y = self.convolution('%sbranch%d.%d' % (prefix, i, j), y, block)
            x = self.add('%ssum%d' % (prefix, i), 'Eltwise', [x, y],
                         operation='SUM')
        return x

    def pooled(self, name, bottom, pool, side):
        """One value for every side x side."""
        return self.add(name, 'Pooling', [bottom], pool=pool,
                        kernel_size=[side, side], stride=[side, side],
                        round_mode='FLOOR')

    def largest(self, name, bottom):
        return self.add(name, 'Pooling', [bottom], pool='MAX',
                        global_pooling=True)

    def latent(self, name, bottom, linear, norm):
        """Logits, the norm behind them folded in."""
        gain = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
        weight = linear.binary() if hasattr(linear, 'binary') else linear.weight
        return self.weighted(name, 'InnerProduct', bottom,
                             weight * gain[:, None],
                             (linear.bias - norm.running_mean) * gain +
                             norm.bias)

    def head(self, name, features, head, classes):
        """Layers NAME (logits), NAME.sigmoid, NAME.scores and NAME.prob."""
        x = self.add(name + '.sigmoid', 'Sigmoid', [
            self.latent(name, features, head.latent, head.norm)])
        return self.classified(name, features, x, head.classifier, classes)

    def beside(self, name, features, head, classifier, classes):
        """The same with a classifier of the features, no NAME.sigmoid."""
        self.latent(name, features, head.latent, head.norm)
        return self.classified(name, features, features, classifier, classes)

    def classified(self, name, features, x, classifier, classes):
        x = self.weighted(name + '.scores', 'InnerProduct', x,
                          classifier.weight, classifier.bias)
        return {'name': name, 'features': features, 'latent': name,
                'classifier': self.add(name + '.prob', 'Softmax', [x]),
                'classes': classes}


def with_means(layers, names):
    """Layers with a MirrorMean behind each of these, which takes its name, so
    that what reads the layer reads the mean; in the order that the format
    wants: all that depends on no mean, the means, what depends on one."""
    first, means, behind, late = [], [], [], set(names)
    for layer in layers:
        if late.intersection(layer['bottom']):
            late.add(layer['name'])
            behind.append(layer)
        elif layer['name'] in names:
            first.append(dict(layer, name=layer['name'] + '.one'))
            means.append({'name': layer['name'], 'type': 'MirrorMean',
                          'bottom': [layer['name'] + '.one']})
        else:
            first.append(layer)
    if len(means) < len(set(names)):
        raise PackError('of %s one is no layer or depends on another' %
                        ', '.join(names))
    return first + means + behind


def mirrored(path, names):
    """Puts MirrorMeans behind layers of a model file, and returns its network
    as it is then."""
    network = {}

    def edit(read):
        read['layers'] = with_means(read['layers'], names)
        check_mirrors(read)
        network.update(read)

    with open(path, 'rb') as f:
        data = rewritten(f.read(), edit)
    with open(path + '.new', 'wb') as f:
        f.write(data)
    os.replace(path + '.new', path)
    return network


def samples(path, sources, where='1', count=1024):
    """An SQLite file with training pictures to calibrate on, from all of the
    training data."""
    if os.path.exists(path):
        os.remove(path)
    db = sqlite3.connect(path)
    db.execute('CREATE TABLE images(id INTEGER PRIMARY KEY, image BLOB)')
    for source in sources:
        db.execute('ATTACH ? AS s', (source,))
        db.execute("""INSERT INTO images(image) SELECT image FROM (
            SELECT image, row_number() OVER (ORDER BY id) AS i,
              count(*) OVER () AS n
            FROM s.images WHERE split = 'train' AND %s)
            WHERE i * ? / n > (i - 1) * ? / n""" % where,
                   (count // len(sources),) * 2)
        db.commit()
        db.execute('DETACH s')
    db.close()
    return path


def export(path, description, heads, side, mean, std, pictures, mirror=(),
           activation_bits=7, **preprocess):
    """Writes the integer model.  heads: of the model file; pictures: what
    samples() made; mirror: behind which layers; activation_bits: 7 or 8."""
    network = {
        'input': {'name': 'data', 'channels': 3, 'height': side,
                  'width': side},
        'preprocess': dict({'order': 'RGB', 'resize': 'area',
                            'aspect': 'stretch', 'reduced_jpeg': 4,
                            'mean': list(mean), 'scale': [1 / s for s in std]},
                           **preprocess),
        'layers': description.layers, 'heads': heads}
    plain = path + '.float32'
    pack(plain, network, description.tensors, int8=False)
    subprocess.run([IMPORT, 'model', plain, '--int8', pictures,
                    '--activation-bits', str(activation_bits), '-o', path],
                   check=True)
    os.remove(plain)
    if mirror:
        network = mirrored(path, mirror)
    print('%s: %d bytes, %s' % (path, os.path.getsize(path), cost(network)))
