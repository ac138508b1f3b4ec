"""A model of many processes on one database: the tables of docs/growth.md, by arithmetic and by simulation."""
