"""The supercategories of COCO's and of Pascal VOC's classes, which TensorFlow Datasets leaves out.

Lin et al., "Microsoft COCO: common objects in context" (2014); Everingham et al., "The Pascal
visual object classes (VOC) challenge" (2010), table 1.
"""

from __future__ import annotations

_COCO = {
    "person": "person",
    "vehicle": "bicycle, car, motorcycle, airplane, bus, train, truck, boat",
    "outdoor": "traffic light, fire hydrant, stop sign, parking meter, bench",
    "animal": "bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe",
    "accessory": "backpack, umbrella, handbag, tie, suitcase",
    "sports": "frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, "
    "skateboard, surfboard, tennis racket",
    "kitchen": "bottle, wine glass, cup, fork, knife, spoon, bowl",
    "food": "banana, apple, sandwich, orange, broccoli, carrot, hot dog, pizza, donut, cake",
    "furniture": "chair, couch, potted plant, bed, dining table, toilet",
    "electronic": "tv, laptop, mouse, remote, keyboard, cell phone",
    "appliance": "microwave, oven, toaster, sink, refrigerator",
    "indoor": "book, clock, vase, scissors, teddy bear, hair drier, toothbrush",
}
_VOC = {
    "person": "person",
    "animal": "bird, cat, cow, dog, horse, sheep",
    "vehicle": "aeroplane, bicycle, boat, bus, car, motorbike, train",
    "indoor": "bottle, chair, diningtable, pottedplant, sofa, tvmonitor",
}


def _by_class(table: dict[str, str]) -> dict[str, str]:
    return {name: above for above, names in table.items() for name in names.split(", ")}


COCO = _by_class(_COCO)
VOC = _by_class(_VOC)
