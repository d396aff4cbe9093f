"""A graph as a drawing, the ops as a reference: functions from what archspec knows to text."""
