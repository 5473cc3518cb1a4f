"""The words of the report, explained for readers who do not train models."""

GLOSSARY = (
    ("label", "What a model is to learn to tell from an image, such as whether a mouth is open."),
    (
        "attribute",
        "Something else about the image that the label should not depend on, such as the tone of "
        "the hair.",
    ),
    (
        "group",
        "All images with the same label and the same attribute values. The worst group is the "
        "group on "
        "which a model is right least often.",
    ),
    (
        "aligned, conflicting",
        "An image is aligned if its attribute is the one that its label usually comes with in the "
        "train split, and conflicting otherwise. A model that has learned the habit instead of the "
        "label is right on aligned images and wrong on conflicting ones.",
    ),
    (
        "segment, node",
        "A segment is the pixels of one kind in an image, such as all hair. A node of the tree is "
        "a segment or several joined: the root is the whole image.",
    ),
    (
        "bias score",
        "How far a node both shows the attribute and is fooled by it, from 0 (harmless) to 1. "
        "A node "
        "that shows the attribute but judges the label rightly scores 0, and so does one that is "
        "merely bad at the label.",
    ),
    (
        "attribute_auc",
        "How well the attribute can be told from the node alone among images of one label: 0.5 is "
        "guessing, 1 is always. Its q is the probability of so much by chance, corrected for the "
        "number of nodes tested.",
    ),
    (
        "out of fold",
        "Measured on images that the network in question was not trained on.",
    ),
    (
        "95% interval",
        "The values that the data do not speak against. The fewer images, the wider. Two intervals "
        "that overlap leave open which of the two is larger.",
    ),
    (
        "host, donor",
        "A recombined image starts from a host and gets one or a few segments from a donor. Both "
        "are real images of the train split.",
    ),
    (
        "gate",
        "A test that every recombined image must pass before it is added: the label is still "
        "told, the attribute has changed, it lies among real images, it is no copy of its host.",
    ),
    (
        "within_group",
        "A recombined image whose host and donor are of the same group. Controls are added so that "
        "traces of editing do not give away the label or the attribute.",
    ),
)
