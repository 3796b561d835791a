"""Feet: standing, contact, and feet held in place while they touch the ground."""
