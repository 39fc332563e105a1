stillwatch_embed(sw_share_collections kCollectionsSchema stillwatch::share src/share/collections/schema/*.sql)
