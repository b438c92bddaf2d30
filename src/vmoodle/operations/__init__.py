"""The durable engine: steps, undo, the node's lock, and DBOS behind them."""
