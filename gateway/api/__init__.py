"""The HTTP API of the gateway itself: calls, costs, health (:func:`gateway.api.app.api_app`)."""
