"""mmbench: controlled comparison of multimodal models."""
