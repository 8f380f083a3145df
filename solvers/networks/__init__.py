"""SGD of finite networks, as a method like any other."""
