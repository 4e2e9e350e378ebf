"""How the networks are made; nothing of the product imports it.

datasets      the data sets people have, as LabelledScans;  labelled_scan: what that is
samples       one random slice after another;  augment, drawn_lesions: what is changed in it
loader        batches of them, made by processes of their own
fingerprint   what something was made of;  record: whom weights learned from, and from where
train         the steps;  stages: how many;  losses, quick_dice, pseudo_labels: what they need
release       the weights as they are shipped;  int8/: the fast engine's files
"""
