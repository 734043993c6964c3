"""UCI Online Retail II: invoices of a gift shop, as success rates of categories.

Source: Chen, "Online Retail II" (2019), UCI Machine Learning Repository. The file is not part of this project.
"""
