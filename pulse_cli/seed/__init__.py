"""Filling a stack with people who follow each other and write: read a graph or make one."""
