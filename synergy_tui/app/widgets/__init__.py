"""What is drawn: charts, heatmaps, graphs and tables as cells, and the widgets that show them."""
