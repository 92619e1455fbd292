-- platform.create_database: makes the database that `cargo dev` keeps everything in.
create database mayfly
