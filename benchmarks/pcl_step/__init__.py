"""What a step of PCL costs, beside a plain step and beside PCL as one writes it down first."""
