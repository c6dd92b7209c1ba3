"""Django's settings: those of `startproject`, without the parts for templates and logins."""

import os

import psycopg2.extensions

_database = psycopg2.extensions.parse_dsn(os.environ["DATABASE_URL"])

SECRET_KEY = os.environ.get("SECRET_KEY", "only-measured")
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1"]
INSTALLED_APPS = [
    "django.contrib.postgres",
    "rest_framework",
    "benchmarks.peers.rest_framework.apps.TasksConfig",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
]
ROOT_URLCONF = "benchmarks.peers.rest_framework.urls"
WSGI_APPLICATION = "benchmarks.peers.rest_framework.wsgi.application"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": _database["dbname"],
        "USER": _database["user"],
        "HOST": _database["host"],
        "PORT": _database["port"],
        "OPTIONS": {"passfile": _database["passfile"]},
        "CONN_MAX_AGE": None,  # each thread keeps its connection
    }
}
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
        "TIMEOUT": int(os.environ["GITHUB_CACHE_TTL"]),  # seconds
    }
}
USE_TZ = True
TIME_ZONE = "UTC"
USE_I18N = False
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
GITHUB_API_BASE = os.environ["GITHUB_API_BASE"]
GITHUB_TIMEOUT = 10  # seconds

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": [],
    "UNAUTHENTICATED_USER": None,
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "SEARCH_PARAM": "q",
}
