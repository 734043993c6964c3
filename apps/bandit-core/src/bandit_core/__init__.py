"""The mathematics of deciding: beliefs to weights to one draw. No I/O, no clock, no global random state."""
