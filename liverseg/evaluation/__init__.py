"""How good the networks are, and where that is said; nothing of the product imports it.

evaluate      scores of patients never seen;  summary, calibration: over patients
thresholds    what counts as liver and tumor;  ablation, paper_protocol: what each choice is worth
model_card, readme_tables    measured numbers as text;  consistency: that they are their records'
"""
