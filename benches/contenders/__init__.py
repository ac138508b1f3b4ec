"""The alternatives that are compared, set up as their documentation says, with generous limits where it says nothing.

The modules here are called directly, through asyncio. `applications` has a FastAPI application for each contender.
"""
