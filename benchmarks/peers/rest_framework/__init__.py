"""The service in Django REST framework: a serializer of the model, and generic views."""
