"""Pages over campaigns, served to this machine: what they do, live, and a button to end them."""
