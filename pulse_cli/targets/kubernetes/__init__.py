"""The Kubernetes target: the rendered package in a namespace of a cluster, through kubectl."""
