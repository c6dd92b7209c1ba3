"""The commands of the administration, which work on the database itself."""

from .database import db
from .demo import demo
from .doctor import doctor

commands = [db, demo, doctor]
