"""The report's terms, explained for readers who do not train models."""

GLOSSARY = (
    ("Label", "What a model is trained to predict from an image, such as whether a mouth is open."),
    (
        "Attribute",
        "Another property of the image that the prediction should not depend on, such as the tone "
        "of the hair. Also called a spurious attribute.",
    ),
    (
        "Group",
        "All images with the same label and the same attribute values. Worst-group accuracy is the "
        "accuracy on the group for which a model is correct least often.",
    ),
    (
        "Bias-aligned, bias-conflicting",
        "An image is aligned if its attribute is the one that its label usually comes with in the "
        "train split, and conflicting otherwise. A model that relies on the attribute is correct "
        "for aligned images and wrong for conflicting ones.",
    ),
    (
        "Segment, node",
        "A segment is the pixels of one semantic class in an image, such as all hair. A node of "
        "the tree is a segment or several combined; the root is the whole image.",
    ),
    (
        "Bias score",
        "How far a node both encodes the attribute and relies on it, from 0 to 1. A node that "
        "encodes the attribute but predicts the label well scores 0, and so does one that merely "
        "predicts the label badly.",
    ),
    (
        "Attribute AUC",
        "How well the attribute can be predicted from the node alone among images of one label: "
        "0.5 is chance, 1 is always. Its q-value is a p-value corrected for the number of nodes "
        "tested.",
    ),
    (
        "Accuracy gap",
        "Accuracy of the label on aligned images minus that on conflicting images.",
    ),
    (
        "Out of fold",
        "Measured on images that the network in question was not trained on (cross-fitting).",
    ),
    (
        "95% interval",
        "A range of values that are compatible with the data. The fewer images, the wider. If two "
        "intervals overlap, it is uncertain which value is larger.",
    ),
    (
        "Host, donor",
        "A recombined image starts from a host and takes one or more segments from a donor. Both "
        "are real images of the train split.",
    ),
    (
        "Gate",
        "A test that every recombined image must pass before it is added: the label is kept, the "
        "attribute has changed, it resembles real images, and it is not a copy of its host.",
    ),
    (
        "Within-group sample",
        "A recombined image whose host and donor are of the same group. Such samples are added so "
        "that edit marks encode neither the label nor the attribute.",
    ),
)
