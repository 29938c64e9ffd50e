"""Run by Python at its start, in the processes of a service under proof only: this folder is on their PYTHONPATH."""

from faults.points import plant

plant()
