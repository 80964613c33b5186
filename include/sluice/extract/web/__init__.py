"""https:// sources: `reader` lists and reads, `listing` understands sitemaps, feeds and lists, `fetch` asks politely,
`robots` and `pace` say what is polite, `address` keeps every connection out of private networks."""
