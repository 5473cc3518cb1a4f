"""Class lists of public datasets: class id in the masks → class name, as its authors write it."""

from __future__ import annotations

#: Pixels at the borders of objects, and pixels that nobody labelled.
VOID = 255

_VOC = (
    "background aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse "
    "motorbike person pottedplant sheep sofa train tvmonitor"
)
#: Pascal VOC's segmentation task (Everingham et al., IJCV 2010).
VOC = {**dict(enumerate(_VOC.split())), VOID: "void"}

_CITYSCAPES = (
    "unlabeled, ego vehicle, rectification border, out of roi, static, dynamic, ground, road, "
    "sidewalk, parking, rail track, building, wall, fence, guard rail, bridge, tunnel, pole, "
    "polegroup, traffic light, traffic sign, vegetation, terrain, sky, person, rider, car, "
    "truck, bus, caravan, trailer, train, motorcycle, bicycle"
)
#: Cityscapes, files `..._labelIds.png` (Cordts et al., CVPR 2016).
CITYSCAPES = dict(enumerate(_CITYSCAPES.split(", ")))

#: Oxford-IIIT Pet, trimaps (Parkhi et al., CVPR 2012): the border is not classified.
OXFORD_PETS = {1: "foreground", 2: "background", 3: "border"}

_COCO_THINGS = (
    "person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire "
    "hydrant, street sign, stop sign, parking meter, bench, bird, cat, dog, horse, sheep, "
    "cow, elephant, bear, zebra, giraffe, hat, backpack, umbrella, shoe, eye glasses, "
    "handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, "
    "baseball glove, skateboard, surfboard, tennis racket, bottle, plate, wine glass, cup, "
    "fork, knife, spoon, bowl, banana, apple, sandwich, orange, broccoli, carrot, hot dog, "
    "pizza, donut, cake, chair, couch, potted plant, bed, mirror, dining table, window, desk, "
    "toilet, door, tv, laptop, mouse, remote, keyboard, cell phone, microwave, oven, toaster, "
    "sink, refrigerator, blender, book, clock, vase, scissors, teddy bear, hair drier, "
    "toothbrush, hair brush"
)
_COCO_STUFF = (
    "banner, blanket, branch, bridge, building-other, bush, cabinet, cage, cardboard, carpet, "
    "ceiling-other, ceiling-tile, cloth, clothes, clouds, counter, cupboard, curtain, "
    "desk-stuff, dirt, door-stuff, fence, floor-marble, floor-other, floor-stone, floor-tile, "
    "floor-wood, flower, fog, food-other, fruit, furniture-other, grass, gravel, "
    "ground-other, hill, house, leaves, light, mat, metal, mirror-stuff, moss, mountain, mud, "
    "napkin, net, paper, pavement, pillow, plant-other, plastic, platform, playingfield, "
    "railing, railroad, river, road, rock, roof, rug, salad, sand, sea, shelf, sky-other, "
    "skyscraper, snow, solid-other, stairs, stone, straw, structural-other, table, tent, "
    "textile-other, towel, tree, vegetable, wall-brick, wall-concrete, wall-other, "
    "wall-panel, wall-stone, wall-tile, wall-wood, water-other, waterdrops, window-blind, "
    "window-other, wood"
)
#: COCO-Stuff, files of `stuffthingmaps` (Caesar, Uijlings, Ferrari, CVPR 2018): the id is one less
#: than in labels.txt, and 255 where nothing is labelled.
COCO_STUFF = {
    **dict(enumerate([*_COCO_THINGS.split(", "), *_COCO_STUFF.split(", ")])),
    VOID: "unlabeled",
}
