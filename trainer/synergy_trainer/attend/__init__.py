"""What computes attention and dropout: compiled kernels for narrow heads on CPUs, else PyTorch.

The model knows only the seam, `attention.attend` and `attention.dropout`.
"""
