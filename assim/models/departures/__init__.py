"""Departures from persistence, lead by lead, with a posterior in closed form."""

from assim.models.departures.forecaster import Departures

__all__ = ["Departures"]
