"""The built-in task plug-ins, registered by entry point as a third party's would be."""
