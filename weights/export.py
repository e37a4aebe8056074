"""From a trained backbone and its heads (recipe.py) to an integer model file.

The network is written down as weights/README.md describes it, in float32 and
with the norms folded into the convolutions; quantise.py makes integers of it
with pictures to calibrate on; pack.py writes the file.  A maximum over 2x2
stands behind the ReLU here and before the norm in training, which is the same:
norms have no gain of their own, so all three are monotone.
"""
import numpy as np

from pack import cost, pack
from quantise import quantise


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
                      kernel_size=[3, 3], pad=[1, 1, 1, 1],
                      stride=list(block.conv.stride))
        return self.add(name + '.relu', 'ReLU', [name])

    def backbone(self, net):
        x = self.convolution('stem', 'data', net.stem)
        stages = zip(net.down, net.branch)
        for i, (down, branch) in enumerate(stages, 1):
            x = self.convolution('down%d' % i, x, down)
            x = self.add('pool%d' % i, 'Pooling', [x], pool='MAX',
                         kernel_size=[2, 2], stride=[2, 2], round_mode='FLOOR')
            y = x
            for j, block in enumerate(branch, 1):
                y = self.convolution('branch%d.%d' % (i, j), y, block)
            x = self.add('sum%d' % i, 'Eltwise', [x, y], operation='SUM')
        return self.add('features', 'Pooling', [x], pool='MAX',
                        global_pooling=True)

    def head(self, name, features, latent, classifier, classes):
        """Layers NAME (logits), NAME.sigmoid, NAME.scores and NAME.prob."""
        weight = latent.binary() if hasattr(latent, 'binary') else latent.weight
        head = {'name': name, 'features': features, 'latent': self.weighted(
            name, 'InnerProduct', features, weight, latent.bias)}
        if classifier is not None:
            x = self.add(name + '.sigmoid', 'Sigmoid', [name])
            x = self.weighted(name + '.scores', 'InnerProduct', x,
                              classifier.weight, classifier.bias)
            head['classifier'] = self.add(name + '.prob', 'Softmax', [x])
            head['classes'] = classes
        return head


def mirrored(network):
    """The same with the features of a picture and its mirror image averaged."""
    layers = []
    for layer in network['layers']:
        if layer['name'] == 'features':
            layers.append(dict(layer, name='maximum'))
            layer = dict(name='features', type='MirrorMean',
                         bottom=['maximum'])
        layers.append(layer)
    return dict(network, layers=layers)


def export(path, net, heads, pixels, mean, std, mirror, crop=False):
    """heads: (name, latent, classifier or None, names of classes) each;
    pixels: uint8 [n, 3, h, w] to calibrate on."""
    net.eval()
    description = Description()
    features = description.backbone(net)
    listed = [description.head(name, features, *head)
              for name, *head in heads]
    height, width = pixels.shape[2:]
    network = {
        'input': {'name': 'data', 'channels': 3, 'height': height,
                  'width': width},
        'preprocess': {'order': 'RGB', 'resize': 'area',
                       'aspect': 'crop' if crop else 'stretch',
                       'mean': list(mean), 'scale': [1 / s for s in std]},
        'layers': description.layers, 'heads': listed}
    nhwc = np.ascontiguousarray(pixels.permute(0, 2, 3, 1).numpy())
    network, tensors = quantise(network, description.tensors, nhwc)
    if mirror:
        network = mirrored(network)
    size = pack(path, network, tensors)
    print('%s: %d bytes, %s' % (path, size, cost(network)))
