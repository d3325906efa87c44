-- One database a service: they share no table. Run once, when the volume is empty.
create database vbpr_publisher;
create database vbpr_notifier;
