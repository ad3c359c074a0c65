from .export.notebook import load as load

__version__: str
