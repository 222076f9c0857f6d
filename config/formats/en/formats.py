"""Dates as the desk's own pages write them: short, and without a.m. and p.m., since all times are UTC."""

DATE_FORMAT = "j M Y"
TIME_FORMAT = "H:i"
DATETIME_FORMAT = "j M Y, H:i"
