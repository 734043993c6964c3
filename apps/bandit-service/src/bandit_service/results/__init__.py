"""Reports of an experiment in numbers and words. Imports allocation and the layers below it."""
