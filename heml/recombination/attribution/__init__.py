"""Attribution: which segments encode an attribute, which the label, and by what."""
