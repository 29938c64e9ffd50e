"""Faults of the machine below the service: its disks, its database, its clock, its descriptors, its memory."""
