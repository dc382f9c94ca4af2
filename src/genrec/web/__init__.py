"""A trained recommender behind HTTP (`genrec serve`), on LitServe; docs/serve.md has every route."""
