"""What the state of a run is: its arrays, how they are shown, mixed, described and drawn. One class a kind of state."""

from wflow.views.base import VIEWS, Fields, StoredField, View, view_of
from wflow.views.grid import GridView
from wflow.views.particles import ParticleView

__all__ = ["VIEWS", "Fields", "GridView", "ParticleView", "StoredField", "View", "view_of"]
