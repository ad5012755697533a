"""Generated scenes: pictures, videos and sounds drawn by code, the same bytes on every machine."""
