"""Results and graphs as text, tables, drawings and specs: printers over what `analysis` and `graph` hold."""
