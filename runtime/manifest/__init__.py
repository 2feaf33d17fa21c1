"""What a bundle says of itself: `bundle.json` as types, read strictly."""
