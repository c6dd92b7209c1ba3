"""The service in Django REST framework: a model serializer and generic views."""
