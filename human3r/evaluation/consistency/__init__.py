"""What a result says about itself where no truth is known: does it fit the pictures, and does it contradict itself?"""
