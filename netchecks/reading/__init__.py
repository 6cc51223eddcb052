"""What guests say in forms of their own: old Unix tools, Windows. Pure functions from text to the values of the other facts."""
