"""From runs to advice: scaling laws fitted with honest intervals, and plans made from them."""
