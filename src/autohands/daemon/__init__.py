"""The program that works all day: what it serves besides tasks, how it begins and ends, who watches over it."""
